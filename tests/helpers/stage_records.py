"""Records of stages, changed by hand."""

import json
from pathlib import Path


def rewrite(record: Path, **changes: object) -> None:
    """Change a record.json so that it agrees with itself: without its checksum, as earlier versions wrote it."""
    content = json.loads(record.read_text()) | changes
    del content["checksum"]
    record.write_text(json.dumps(content))
