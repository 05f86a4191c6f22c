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
    >>> model.learn_row("t1", [12.5], True)
    False
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

    def learn_row(self, *_args: object, **_others: object) -> bool:
        """Leave the label alone; its own window has it."""
        return False

    def compile(self) -> CompiledModel:
        """Return what it was fitted to be."""
        return self.compiled
