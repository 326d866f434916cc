"""The attributes of a network's modules that hold expressed tensors while it runs, and a stand-in else."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.autograd import Variable

from genophen.errors import GenophenError
from genophen.phenotype.targets import owner_of


@dataclass(frozen=True, eq=False)
class Expressed:
    """Stands in the network for a parameter that a genotype writes, and says so to whoever uses it."""

    name: str
    shape: tuple[int, ...]

    def __repr__(self) -> str:
        return f"<{self.name}, {self.shape}, is written by the genotype: phenotype.weights()[{self.name!r}]>"

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):  # asked for by copy and pickle
            raise AttributeError(attribute)
        raise AttributeError(f"no {attribute!r} of {self!r}")

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        held = [value for value in (*args, *(kwargs or {}).values()) if isinstance(value, cls)]
        raise GenophenError(
            f"cannot run {getattr(func, '__name__', func)} outside the phenotype",
            found=f"{held[0]!r}" if held else "a parameter that the genotype writes",
            allowed="the network within the phenotype that it belongs to",
            next_step="call the phenotype itself, or take the network that phenotype.materialize() gives",
        )


@dataclass(frozen=True)
class _Slot:
    module: nn.Module
    attribute: str
    target: str
    stand_in: Expressed


class WeightSlots:
    """Where the expressed tensors of one network go: into each module that holds them.

    The parameters are taken out of the modules, which keep their names in their order. Tensors and stand-ins
    are plain attributes.
    """

    def __init__(self, network: nn.Module, names_of: Mapping[str, Sequence[str]]) -> None:
        """Empty the slots of `network`; `names_of`: all names of each target in it."""
        self._slots: list[_Slot] = []
        for target, names in names_of.items():
            for name in names:
                owner, attribute = owner_of(network, name)
                stand_in = Expressed(name, tuple(network.get_parameter(target).shape))
                self._slots.append(_Slot(owner, attribute, target, stand_in))
        for slot in self._slots:
            slot.module.register_parameter(slot.attribute, None)
        self.clear()

    def fill(self, weights: Mapping[str, Any]) -> None:
        """Put in the tensors, or what is called like them, by target name; all of them or some."""
        for slot in self._slots:
            if slot.target in weights:
                _put(slot, weights[slot.target])

    def clear(self) -> None:
        """Put back the stand-ins."""
        for slot in self._slots:
            _put(slot, slot.stand_in)

    def fill_until_backward_ends(self, weights: Mapping[str, Tensor]) -> None:
        """Put in the tensors of a forward pass for its backward pass, which has just begun.

        A module under `torch.utils.checkpoint` runs again in the middle of it.
        """
        self.fill(weights)
        Variable._execution_engine.queue_callback(self.clear)

    @contextmanager
    def filled(self, weights: Mapping[str, Tensor]) -> Iterator[None]:
        """The network with the tensors in it, inside the block."""
        self.fill(weights)
        try:
            yield
        finally:
            self.clear()


def _put(slot: _Slot, value: Any) -> None:
    module = slot.module
    module.__dict__[slot.attribute] = value
    if isinstance(module, nn.RNNBase):  # its forward reads a list of its own
        index = module._flat_weights_names.index(slot.attribute)
        module._flat_weights[index] = value
        module._flat_weight_refs[index] = weakref.ref(value)


def make_parameters(
    network: nn.Module, names_of: Mapping[str, Sequence[str]], weights: Mapping[str, nn.Parameter]
) -> None:
    """Make the weights, by target name, plain parameters of a network again."""
    for target, names in names_of.items():
        for name in names:
            owner, attribute = owner_of(network, name)
            owner.__dict__.pop(attribute)
            owner.register_parameter(attribute, weights[target])
    for module in network.modules():
        if isinstance(module, nn.RNNBase):
            module._init_flat_weights()
