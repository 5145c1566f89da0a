"""The committed wallet is what its source compiles to."""

from tests.wallet import compiling


def test_the_artifact_is_that_of_the_source() -> None:
    assert compiling.ARTIFACT.read_text() == compiling.build()
