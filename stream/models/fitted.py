"""The fitted model: made elsewhere, as a whole; it serves as it is until it is fitted again."""

from dataclasses import dataclass

from stream.models.compiled import CompiledModel


@dataclass(frozen=True)
class FittedModel:
    """A model that does not learn online: among those that do, it takes their labels and stays as it is.

    Examples
    --------
    >>> from stream.models.compiled import Constant
    >>> model = FittedModel(Constant(0.01), learned=500, frauds_learned=5)
    >>> model.compile().kind
    'constant'
    """

    compiled: CompiledModel
    learned: int
    """Labels that it was fitted on."""
    frauds_learned: int
    """Frauds among them."""

    @property
    def taught(self) -> int:
        """Labels that it was fitted on."""
        return self.learned

    def learn_rows(self, lessons: object) -> None:
        """Leave the labels alone; its own window has them."""

    def compile(self) -> CompiledModel:
        """Return what it was fitted to be."""
        return self.compiled
