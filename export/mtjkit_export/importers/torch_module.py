"""A torch module, through torch's own export to ONNX."""

from __future__ import annotations

import io
import warnings
from typing import Any

from mtjkit_export.importers.graph import Graph, refuse
from mtjkit_export.importers.onnx_file import graph_of
from mtjkit_export.needs import needs


def from_torch(module: Any, example: Any) -> Graph:
    """Read a module: convolutions, linear layers, batch norm, signs, pooling.

    Args:
        module: a torch.nn.Module, which is put into evaluation mode. Weights that its forward pass
            binarizes are read as it binarizes them.
        example: a batch of one input, a tensor.

    Returns:
        The graph, for `lower`.

    Raises:
        ConfigError: torch or onnx is missing, or torch cannot export the module.
    """
    with needs("train"):
        import torch

    module.eval()
    buffer: Any = io.BytesIO()  # which torch takes, though its types do not say so
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of the exporter's age
            torch.onnx.export(
                module, (example,), buffer, dynamo=False, opset_version=17,
                do_constant_folding=False,
            )  # fmt: skip
    except (RuntimeError, ValueError, TypeError) as error:
        raise refuse(f"torch does not export the module: {str(error).splitlines()[0]}") from None
    return graph_of(buffer.getvalue(), "the module")
