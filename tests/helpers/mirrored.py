"""What MLflow holds of a sweep, an ablation or a run."""

from typing import Any

from dmt_ray.tracking import Mirror


def everything(mirror: Mirror, name: str) -> dict[str, Any]:
    """All that publishing could have changed: metrics with their whole histories, parameters, tags, status, times."""
    return {
        run.info.run_id: (
            {
                key: [(m.step, m.value, m.timestamp) for m in mirror.client.get_metric_history(run.info.run_id, key)]
                for key in run.data.metrics
            },
            run.data.params,
            run.data.tags,
            run.info.status,
            run.info.start_time,
            run.info.end_time,
            sorted(file.path for file in mirror.client.list_artifacts(run.info.run_id)),
        )
        for run in mirror.find({"dmt.name": name})
    }
