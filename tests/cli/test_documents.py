"""What `--json` prints: one document on standard output, as its model says, and nothing else there."""

import json

import pytest

from dmt_ray.cli.documents import DOCUMENTS

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
COMMANDS = {
    "dmt plan": ["plan", "--recipe", "shapes", "--method", "dst", "--set", "percentiles=[1.0]"],
    "dmt status": ["status"],
    "dmt table": ["table", "components"],
    "dmt store ls": ["store", "ls"],
    "dmt why": ["why", "joint"],
}


def test_every_document_is_tested():
    assert COMMANDS.keys() == DOCUMENTS.keys()


@pytest.fixture(params=COMMANDS)
def printed(request, dmt, storage):
    """Command, and what it prints."""
    return request.param, dmt(*COMMANDS[request.param], "--storage", storage, "--json")


def test_real_output_is_as_its_schema_says(printed):
    command, text = printed
    model = DOCUMENTS[command]
    assert json.loads(model.model_validate_json(text, strict=True).model_dump_json()) == json.loads(text)
    schema = model.model_json_schema()
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == json.loads(text).keys()


def test_a_document_with_another_field_is_none(printed):
    command, text = printed
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        DOCUMENTS[command].model_validate_json(json.dumps({**json.loads(text), "further": 1}))


def read(dmt, storage, command):
    return json.loads(dmt(*COMMANDS[command], "--storage", storage, "--json"))


def test_a_plan_names_its_rungs_by_the_keys_of_its_stages(dmt, storage):
    plan = read(dmt, storage, "dmt plan")
    stages = {stage["key"]: stage for stage in plan["stages"]}
    assert [stages[rung["A"]]["operation"] for rung in plan["rungs"]] == ["evaluate", "evaluate"]
    assert plan["missing"]["stages"] == sum(not stage["stored"] for stage in plan["stages"])
    assert all(needed in stages for stage in stages.values() for needed in stage["inputs"].values())


def test_a_table_has_a_line_for_every_row_and_rule_and_null_where_a_number_is_missing(dmt, storage):
    (table,) = read(dmt, storage, "dmt table")["tables"]
    lines = {(line["row"], line["rule"]): line for line in table["lines"]}
    assert set(lines) == {(row, rule) for row in ("Baseline", "DMT") for rule in ("last", "val", "paper")}
    # The test mIoU of seeds 0 and 1.
    assert lines["Baseline", "last"]["mean"] == pytest.approx((0.48 + 0.58) / 2)
    assert (lines["DMT", "last"]["mean"], lines["DMT", "last"]["missing"]) == (None, 2)


def test_json_writes_no_files(dmt, storage):
    read(dmt, storage, "dmt table")
    assert not (storage / "tables").exists()


def test_why_names_the_error_and_the_command_that_repeats_it(dmt, storage):
    (failure,) = read(dmt, storage, "dmt why")["failures"]
    assert (failure["what"], failure["error"]) == ("trial 2 failed: gamma1=2 method=dmt", "out of memory")
    assert failure["command"].startswith("for seed in 0 1; do dmt run --recipe shapes --method dmt ")


def test_the_store_is_listed_with_its_size(dmt, storage):
    listed = read(dmt, storage, "dmt store ls")
    assert listed["bytes"] >= sum(stage["bytes"] for stage in listed["stages"]) > 0
    assert {"pretrain", "evaluate"} <= {stage["operation"] for stage in listed["stages"]}
