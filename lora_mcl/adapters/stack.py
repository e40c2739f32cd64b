"""N adapters on one frozen model: attach, route, save and load."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from peft import LoraConfig
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightRenaming, rename_source_key
from transformers.pytorch_utils import Conv1D

from lora_mcl.adapters.linear import FixedRouting, GroupedLoraLinear, LayerAdapter, Routing, linear_features
from lora_mcl.adapters.peft_folder import (
    WEIGHTS_FILE,
    AdapterTensors,
    read_config,
    read_tensors,
    write_folder,
)
from lora_mcl.adapters.spec import AdapterSpec
from lora_mcl.errors import BundleError, OptionsError


def hypothesis_rows(num_hypotheses: int, batch_size: int) -> Tensor:
    """Rows [K * B] for a batch repeated K times with `x.repeat(K, ...)`: copy k goes through adapter k.

    Anything computed per row then reshapes as `.view(K, B)`.
    """
    return torch.arange(num_hypotheses).repeat_interleave(batch_size)


class AdapterStack:
    """Adapters of any ranks and targets on one frozen model. Build it with `attach`, `from_lora_config` or `from_peft`.

    A forward pass needs one adapter index per batch row:

        with stack.rows(rows):
            model(**inputs)

    While attached, the model's own `save_pretrained` would write the wrapped layers: `detach` first.
    """

    def __init__(self, model: nn.Module, specs: Sequence[AdapterSpec], dtype: torch.dtype = torch.float32):
        """Wrap the targeted linear layers of `model` in place, all A and B at 0, and freeze the model.

        Raises:
            OptionsError: no spec, repeated names, targets that match no linear layer, or a second stack.
        """
        specs = tuple(spec.resolve(model) for spec in specs)
        names = tuple(spec.name for spec in specs)
        if not specs:
            raise OptionsError("a stack needs at least one adapter")
        if len(set(names)) != len(names):
            raise OptionsError(f"adapter names must differ; got {', '.join(names)}")
        _refuse_second_stack(model)
        plans = [spec.layers(model) for spec in specs]

        self.model = model
        self.specs = specs
        self.names = names
        self.routing = Routing(len(specs))
        self.layers: dict[str, GroupedLoraLinear] = {}
        self._trainable_before = [p for p in model.parameters() if p.requires_grad]
        model.requires_grad_(False)
        targeted = set().union(*plans)
        for module_name in [name for name, _ in model.named_modules() if name in targeted]:
            adapters = [
                plan.get(module_name, LayerAdapter(0, 0.0, spec.dropout))
                for plan, spec in zip(plans, specs, strict=True)
            ]
            layer = GroupedLoraLinear(model.get_submodule(module_name), adapters, self.routing, dtype)
            layer.train(model.training)
            model.set_submodule(module_name, layer)
            self.layers[module_name] = layer

    @classmethod
    def attach(
        cls,
        model: nn.Module,
        specs: Sequence[AdapterSpec],
        *,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ) -> "AdapterStack":
        """New adapters, ready to train: A random and B = 0, so that the model is unchanged at first.

        Args:
            model: frozen and modified in place; `detach` undoes both.
            dtype: of the adapters (float32 master weights by default), independent of the base's.
            generator: source of the draws; the global one by default.

        Raises:
            OptionsError: see the constructor; or a name of `target_modules` matches no module.
        """
        for spec in specs:
            spec.resolve(model).check_every_target(model)
        stack = cls(model, specs, dtype)
        for layer in stack.layers.values():
            layer.reset(generator)
        return stack

    @classmethod
    def from_lora_config(
        cls,
        model: nn.Module,
        config: LoraConfig,
        hypotheses: int,
        *,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ) -> "AdapterStack":
        """`hypotheses` new adapters, each as `peft.get_peft_model(model, config)` would make one.

        They are called hypothesis-0, hypothesis-1, ...; A is drawn independently for each, B = 0.

        Raises:
            OptionsError: `hypotheses` is less than 1, or `config` cannot be honoured (the field is named).
        """
        if hypotheses < 1:
            raise OptionsError(f"hypotheses must be at least 1; got {hypotheses}")
        specs = [AdapterSpec.for_new(f"hypothesis-{k}", config, model) for k in range(hypotheses)]
        return cls.attach(model, specs, dtype=dtype, generator=generator)

    @classmethod
    def from_peft(
        cls, model: nn.Module, folders: Mapping[str, Path | str], *, dtype: torch.dtype = torch.float32
    ) -> "AdapterStack":
        """One stack from several PEFT folders {name: folder}, of any ranks and targets, in the given order.

        Raises:
            BundleError: a folder is missing, malformed, unsupported, or does not fit; `model` is unchanged.
            OptionsError: `model` has a stack already.
        """
        _refuse_second_stack(model)
        specs, tensors = [], []
        for name, folder in folders.items():
            spec = read_config(name, Path(folder)).resolve(model)
            tensors.append(_fit(read_tensors(Path(folder)), spec, model, Path(folder)))
            specs.append(spec)
        stack = cls(model, specs, dtype)
        for n, pairs in enumerate(tensors):
            stack._copy(n, pairs)
        return stack

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Position of the adapter called `name`: the number to put in `rows`.

        Raises:
            OptionsError: no such adapter.
        """
        if name not in self.names:
            raise OptionsError(f"no adapter is called {name!r}; there are {', '.join(self.names)}")
        return self.names.index(name)

    def rows(self, rows: Tensor | Sequence[int] | None) -> AbstractContextManager[None]:
        """Route batch row i to adapter rows[i] (BASE_ROW: the bare base) inside `with`; None unsets.

        The previous routing comes back at the end of the block.

        Raises:
            ValueError: not a vector of integers in range.
        """
        return self.routing.using(rows)

    def fixed_rows(self, rows: Tensor | Sequence[int]) -> FixedRouting:
        """Routing like `rows`, for a block that is entered many times, without training.

        The rows are checked once, and each layer lays out the weights of the adapters in use once: `refresh()` if
        these change, `set_rows()` if the rows do.
        """
        return self.routing.fixed(rows)

    def checkpoint_contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """The `context_fn` for `torch.utils.checkpoint.checkpoint`, with `use_reentrant=False`.

        Gradient checkpointing runs parts of the forward again in backward(); this routes each of them as in the
        first pass.
        """
        return nullcontext(), self.routing.snapshot()

    def parameters(self) -> Iterator[nn.Parameter]:
        """The trainable parameters (A and B of every layer), in a fixed order.

        One tensor holds all adapters of a layer. An adapter that is not routed gets a zero gradient, but an
        optimizer may still move it (weight decay, momentum): train in a stack only what should be trained.
        """
        for layer in self.layers.values():
            yield layer.lora_A
            yield layer.lora_B

    def num_parameters(self, name: str) -> int:
        """Number of weights of one adapter, padding excluded."""
        return sum(a.numel() + b.numel() for a, b in self.tensors(name).values())

    def tensors(self, name: str) -> AdapterTensors:
        """Views on one adapter's weights, without padding: {module name: (A [rank, in], B [out, rank])}."""
        n = self.index(name)
        return {module: layer.weights(n) for module, layer in self.layers.items() if layer.ranks[n]}

    def save(self, name: str, folder: Path | str, base_name_or_path: str | None = None) -> None:
        """Write one adapter as a standard PEFT folder, which `peft.PeftModel.from_pretrained` loads."""
        tensors = self.tensors(name)
        transposed = any(isinstance(self.layers[module].base, Conv1D) for module in tensors)
        write_folder(self.specs[self.index(name)], tensors, Path(folder), base_name_or_path, fan_in_fan_out=transposed)

    def load(self, name: str, folder: Path | str) -> None:
        """Replace the weights of one adapter by those of a PEFT folder of the same shape.

        Raises:
            BundleError: the folder is malformed, or its rank, alpha or targets are not this adapter's.
        """
        n = self.index(name)
        folder = Path(folder)
        spec, pairs = read_config(name, folder), _current_names(read_tensors(folder), self.model)
        own = self.specs[n]
        for field, mine, theirs in (
            ("rank", own.rank, spec.rank),
            ("alpha", own.alpha, spec.alpha),
            ("use_rslora", own.use_rslora, spec.use_rslora),
            ("rank_pattern", own.rank_pattern, spec.rank_pattern),
            ("alpha_pattern", own.alpha_pattern, spec.alpha_pattern),
        ):
            if mine != theirs:
                raise BundleError(f"{folder}: {field} is {theirs!r}, but adapter {name!r} has {mine!r}")
        shapes = {module: (a.shape, b.shape) for module, (a, b) in self.tensors(name).items()}
        _check_pairs(pairs, shapes, folder)
        self._copy(n, pairs)

    def merge(self, name: str) -> nn.Module:
        """Add one adapter to the base weights, drop the others, and return the plain model. Ends the stack.

        An output layer that was tied to the input embeddings and had an adapter is not tied any more.

        Raises:
            OptionsError: no such adapter, or the base is quantized; nothing is changed then.
        """
        n = self.index(name)
        targeted = [layer for layer in self.layers.values() if layer.ranks[n]]
        if any(not layer.base.weight.is_floating_point() for layer in targeted):
            raise OptionsError("adapters cannot be merged into quantized weights: load the base in a float type")
        for layer in targeted:
            weight = layer.base.weight
            if isinstance(self.model, PreTrainedModel) and weight is _embeddings(self.model):
                _untie(self.model, layer.base)
                if any(weight is parameter for parameter in self._trainable_before):
                    self._trainable_before.append(layer.base.weight)
            layer.merge(n)
        return self.detach()

    def detach(self) -> nn.Module:
        """Put the plain layers back, unfreeze what was trainable, and return the model. Ends the stack."""
        for module_name, layer in self.layers.items():
            self.model.set_submodule(module_name, layer.base)
        for parameter in self._trainable_before:
            parameter.requires_grad_(True)
        self.layers = {}
        return self.model

    @torch.no_grad()
    def _copy(self, n: int, pairs: AdapterTensors) -> None:
        for module_name, (a, b) in pairs.items():
            own_a, own_b = self.layers[module_name].weights(n)
            own_a.copy_(a)
            own_b.copy_(b)


def _embeddings(model: PreTrainedModel) -> Tensor:
    return model.get_input_embeddings().weight


def _untie(model: PreTrainedModel, output_layer: nn.Module) -> None:
    """Give a tied output layer weights of its own: what is added to them must not change the embeddings."""
    output_layer.weight = nn.Parameter(output_layer.weight.detach().clone(), requires_grad=False)
    model.config.get_text_config().tie_word_embeddings = False
    if "tie_word_embeddings" in model.config.to_dict():  # LLaVA-NeXT's has it on top as well, Qwen2-Audio's has not
        model.config.tie_word_embeddings = False


def _refuse_second_stack(model: nn.Module) -> None:
    if any(isinstance(module, GroupedLoraLinear) for module in model.modules()):
        raise OptionsError("this model has an adapter stack already: detach() it, or attach all adapters at once")


def _current_names(pairs: AdapterTensors, model: nn.Module) -> AdapterTensors:
    """Tensors under the module names of this transformers version, by its own table of renamings.

    Adapters that were saved with earlier versions (LLaVA-NeXT and Qwen2-Audio: before 4.52) have other names, which
    PEFT renames as well.
    """
    if not isinstance(model, PreTrainedModel) or {name for name, _ in model.named_modules()}.issuperset(pairs):
        return pairs
    renamings = [rule for rule in get_model_conversion_mapping(model) if isinstance(rule, WeightRenaming)]
    return {
        rename_source_key(f"{module}.weight", renamings, [])[0].removesuffix(".weight"): pair
        for module, pair in pairs.items()
    }


def _fit(pairs: AdapterTensors, spec: AdapterSpec, model: nn.Module, folder: Path) -> AdapterTensors:
    """`pairs` by current module names, if they are exactly what `spec` selects in `model`."""
    pairs = _current_names(pairs, model)
    try:
        layers = spec.layers(model)
    except OptionsError as error:
        raise BundleError(f"{folder} does not fit the base model: {error}") from error
    shapes = {}
    for module_name, layer in layers.items():
        in_features, out_features = linear_features(model.get_submodule(module_name))
        shapes[module_name] = ((layer.rank, in_features), (out_features, layer.rank))
    _check_pairs(pairs, shapes, folder)
    return pairs


def _check_pairs(
    pairs: AdapterTensors, shapes: Mapping[str, tuple[Sequence[int], Sequence[int]]], folder: Path
) -> None:
    """Raise BundleError unless `pairs` has exactly the modules and (A, B) shapes of `shapes`."""
    path = folder / WEIGHTS_FILE
    if missing := sorted(set(shapes) - set(pairs)):
        raise BundleError(f"{path} has no weights for {_some(missing)}, which target_modules selects in the base model")
    if unknown := sorted(set(pairs) - set(shapes)):
        raise BundleError(
            f"{path} has weights for {_some(unknown)}, which target_modules does not select in the base "
            "model: was the adapter trained on another base?"
        )
    for module_name, pair in pairs.items():
        for part, tensor, shape in zip("AB", pair, shapes[module_name], strict=True):
            if tuple(tensor.shape) != tuple(shape):
                raise BundleError(
                    f"{path}: {module_name}.lora_{part}.weight has shape {list(tensor.shape)}, expected "
                    f"{list(shape)} from its rank and the base model"
                )


def _some(names: Sequence[str]) -> str:
    """The first names of a list, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
