"""The packaged all-MiniLM-L6-v2 as an ONNX graph, written from its weights: torch is not needed.

The network is BERT [1]_ (6 layers, 12 heads), then the mean over tokens, brought to norm 1. The
graph uses ONNX Runtime's fused operators; its matrices are kept as 8-bit integers and inputs to
them quantised as they come (dynamic quantisation).

References
----------
.. [1] Devlin, J. et al. (2019). BERT: Pre-training of Deep Bidirectional Transformers for Language
   Understanding. NAACL.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MICROSOFT = "com.microsoft"
QUANTISED = ("Attention", "MatMul", "Gather")
EXACT = ("encoder.layer.0.output.dense", "encoder.layer.2.output.dense")
"""Products that stay in single precision: what goes into them has outliers, and rounding these
two costs more than rounding all others does."""

Weights = dict[str, NDArray[np.float32]]


def write_int8(model: Path, target: Path, *, reduce_range: bool = False) -> None:
    """Write the network of a sentence-transformers folder as an 8-bit ONNX file.

    Parameters
    ----------
    model
        A folder with `config.json` and `model.safetensors` of a BERT with mean pooling.
    target
        Replaced in one step, so that no other process ever reads half a file.
    reduce_range
        Keep 7 bits only, for processors whose sums of 8 x 8 bits may overflow.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from safetensors.numpy import load_file

    config = json.loads((model / "config.json").read_text("utf-8"))
    graph = _Graph(load_file(model / "model.safetensors"), config)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as folder:
        whole, small = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        onnx.save(graph.model(), whole)
        logging.getLogger().addFilter(_no_advice)
        try:
            quantize_dynamic(
                whole,
                small,
                op_types_to_quantize=list(QUANTISED),
                nodes_to_exclude=list(EXACT),
                per_channel=True,
                reduce_range=reduce_range,
                weight_type=QuantType.QInt8,
                # Types are not inferred through fused operators.
                extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
            )
        finally:
            logging.getLogger().removeFilter(_no_advice)
        small.replace(target)


def _no_advice(record: logging.LogRecord) -> bool:
    return "pre-processing before quantization" not in record.getMessage()


class _Graph:
    """Nodes and weights of the network, in order of computation."""

    def __init__(self, weights: Weights, config: dict[str, Any]) -> None:
        self._weights = weights
        self._heads = int(config["num_attention_heads"])
        self._layers = int(config["num_hidden_layers"])
        self._epsilon = float(config["layer_norm_eps"])
        self._nodes: list[Any] = []
        self._constants: Weights | dict[str, NDArray[Any]] = {}

    def model(self) -> Any:
        """Return the ONNX model: `ids`, int32 (batch, tokens) without padding, to `embedding`."""
        from onnx import TensorProto, helper, numpy_helper

        self._pool(self._encoder(self._embeddings()))
        ids = helper.make_tensor_value_info("ids", TensorProto.INT32, ["batch", "tokens"])
        width = len(self._weights["embeddings.LayerNorm.weight"])
        output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", width])
        graph = helper.make_graph(
            self._nodes,
            "minilm",
            [ids],
            [output],
            [numpy_helper.from_array(array, name) for name, array in self._constants.items()],
        )
        versions = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_model(graph, opset_imports=versions, ir_version=8)

    def _embeddings(self) -> str:
        """Word + position + segment (always the first), normalised."""
        words = self._node("Gather", [self._weight("embeddings.word_embeddings.weight"), "ids"])
        places = self._weights["embeddings.position_embeddings.weight"]
        segment = self._weights["embeddings.token_type_embeddings.weight"][0]
        table = self._constant("places", places + segment)
        length = self._node("Gather", [self._node("Shape", ["ids"]), self._integers("one", [1])])
        start = self._integers("zero", [0])
        position = self._node("Slice", [table, start, length, start])
        whole = self._node("Add", [words, position])
        return self._node(
            "LayerNormalization", [whole, *self._normal("embeddings.LayerNorm")],
            epsilon=self._epsilon, axis=-1,
        )  # fmt: skip

    def _encoder(self, x: str) -> str:
        for number in range(self._layers):
            layer = f"encoder.layer.{number}"
            at = f"{layer}.attention"
            parts = [f"{at}.self.{name}" for name in ("query", "key", "value")]
            weight = np.concatenate([self._weights[f"{p}.weight"] for p in parts]).T
            bias = np.concatenate([self._weights[f"{p}.bias"] for p in parts])
            qkv = [self._constant(f"{at}.qkv", weight), self._constant(f"{at}.qkv_bias", bias)]
            seen = self._node("Attention", [x, *qkv], domain=MICROSOFT, num_heads=self._heads)
            x = self._add_normal(x, self._matmul(seen, f"{at}.output.dense"), f"{at}.output")
            up = self._matmul(x, f"{layer}.intermediate.dense")
            bias_up = self._weight(f"{layer}.intermediate.dense.bias")
            active = self._node("BiasGelu", [up, bias_up], domain=MICROSOFT)
            x = self._add_normal(
                x, self._matmul(active, f"{layer}.output.dense"), f"{layer}.output"
            )
        return x

    def _pool(self, x: str) -> None:
        """Mean over the tokens, at norm 1."""
        total = self._node("ReduceSum", [x, self._integers("one", [1])], keepdims=0)
        # The mean and the sum point the same way.
        self._node("LpNormalization", [total], "embedding", axis=-1, p=2)

    def _add_normal(self, x: str, change: str, name: str) -> str:
        """Return the normalised sum of `x` and `change` with its bias."""
        return self._node(
            "SkipLayerNormalization",
            [x, change, *self._normal(f"{name}.LayerNorm"), self._weight(f"{name}.dense.bias")],
            domain=MICROSOFT,
            epsilon=self._epsilon,
        )

    def _matmul(self, x: str, name: str) -> str:
        weight = self._constant(f"{name}.weight", self._weights[f"{name}.weight"].T)
        return self._node("MatMul", [x, weight], name=name)

    def _normal(self, name: str) -> tuple[str, str]:
        return self._weight(f"{name}.weight"), self._weight(f"{name}.bias")

    def _weight(self, name: str) -> str:
        return self._constant(name, self._weights[name])

    def _integers(self, name: str, values: Sequence[int]) -> str:
        return self._constant(name, np.array(values, dtype=np.int64))

    def _constant(self, name: str, array: NDArray[Any]) -> str:
        self._constants[name] = np.ascontiguousarray(array)
        return name

    def _node(
        self, what: str, inputs: Sequence[str], output: str | None = None, **options: Any
    ) -> str:
        from onnx import helper

        output = output or f"{what.lower()}_{len(self._nodes)}"
        options.setdefault("name", f"node_{len(self._nodes)}")
        self._nodes.append(helper.make_node(what, list(inputs), [output], **options))
        return output
