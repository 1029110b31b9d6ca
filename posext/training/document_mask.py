"""The schemes that take a mask between joined documents: `data.mask_documents`."""

import torch

from posext.model.attention import check_softmax
from posext.pe import PositionalEncoding


def check_document_mask(scheme: PositionalEncoding, n_layers: int) -> None:
    """Raise PosextError if a layer of the scheme has weights that are no softmax of scores."""
    for layer in dict.fromkeys(scheme.layers(n_layers)):
        tables = layer.tables(torch.zeros(1, dtype=torch.long))
        check_softmax(tables._replace(documents_BT=torch.zeros(1, 1, dtype=torch.long)))
