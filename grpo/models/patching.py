"""How a library model is altered, in one place.

`grpo.models.compatibility.prepare` alters a model once, when it is loaded, in two ways:

1. Its attention becomes `grpo.models.attention.shared_prefix_attention`, through the library's own registry.
2. Some of its modules are *patched*: a module stays where it is, with its weights, hooks and names in the state dict,
   and its class becomes a subclass of its class, whose `forward` is ours and whose `super().forward` is the library's.

| patch | module | what it changes |
| --- | --- | --- |
| `fast_layers.FastLinear` | every `nn.Linear` | fp32 products on a CPU go through oneDNN |
| `recurrence.BranchingMixer` | recurrent mixers | states branch where the token tree branches |
| `lora.LoRALinear` | linear layers of the decoder, with `--lora_rank` | adds a trained difference of low rank |
| `recompute.RecomputedLayer` | decoder layers, with `--gradient_checkpointing` | keeps only the layer's input |

Patches stack: a patched module can be patched again, and copies and pickles keep their patches.
"""

from __future__ import annotations

import functools
from typing import Any

from torch import nn


class Patched(nn.Module):
    """Base of a patch. A patched module's class has the patch as its first base and the old class as its second."""

    library_class: type[nn.Module]
    """The class of the module before all patches."""
    patches: tuple[type[Patched], ...]
    """The module's patches, the first one first."""

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # The class is made at run time and cannot be imported by name: copies and pickles make it again.
        return _empty_module, (self.library_class, *self.patches), self.__getstate__()


def patch(module: nn.Module, patch_class: type[Patched]) -> Any:
    """Makes the module compute by `patch_class`, and returns it. The caller sets the attributes of the patch."""
    classes: tuple[Any, Any] = patch_class, type(module)
    module.__class__ = _patched_class(*classes)
    return module


def unpatch(module: nn.Module) -> None:
    """Undoes the last `patch`."""
    module.__class__ = type(module).__bases__[1]


@functools.cache
def _patched_class(patch_class: Any, module_class: Any) -> Any:
    record = {
        "library_class": getattr(module_class, "library_class", module_class),
        "patches": (*getattr(module_class, "patches", ()), patch_class),
    }
    return type(f"{patch_class.__name__}{module_class.__name__}", (patch_class, module_class), record)


def _empty_module(library_class: Any, *patches: Any) -> Any:
    module_class = functools.reduce(lambda kind, patch_class: _patched_class(patch_class, kind), patches, library_class)
    return module_class.__new__(module_class)
