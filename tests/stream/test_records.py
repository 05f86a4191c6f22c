import json
from pathlib import Path

from stream.records import json_schemas


def test_the_published_schemas_are_those_of_the_code() -> None:
    folder = Path(__file__).parents[2] / "docs" / "schemas"
    published = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    assert published == json_schemas(), "run `fraudstream schemas`"
