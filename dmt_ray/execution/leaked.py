"""Placement groups that nobody will give back."""

from contextlib import suppress


def free_leaked() -> int:
    """Give back the resources of Ray Train runs whose controller has ended, and say how many there were.

    A run that is killed leaves its workers' placement group behind until this process's Ray job ends; nobody else could
    use that part of the cluster. Only groups that this job has made are looked at.
    """
    import ray
    from ray.core.generated import gcs_pb2
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    # Ray's public table does not tell who made a group.
    state = ray._private.state.state
    state._connect_and_get_accessor()
    job = ray.get_runtime_context().get_job_id()
    freed = 0
    for told in state._global_state_accessor.get_placement_group_table():
        group = gcs_pb2.PlacementGroupTableData.FromString(told)
        removed = group.state == gcs_pb2.PlacementGroupTableData.REMOVED
        # Tune's groups are made by the driver itself, which is no actor.
        of_actor = not ray.ActorID(group.creator_actor_id).is_nil()
        if group.creator_job_id.hex() == job and of_actor and group.creator_actor_dead and not removed:
            with suppress(ValueError):
                remove_placement_group(PlacementGroup(ray.PlacementGroupID(group.placement_group_id)))
                freed += 1
    return freed
