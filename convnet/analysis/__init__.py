"""What a trained network learned and where it errs, as arrays. Nothing here draws."""

from convnet.analysis.errors import confident_errors, confusion_matrix, softmax
from convnet.analysis.view import MEMORY, View, in_chunks
from convnet.analysis.weights import class_means, first_layer_filters, templates

__all__ = [
    "MEMORY",
    "View",
    "class_means",
    "confident_errors",
    "confusion_matrix",
    "first_layer_filters",
    "in_chunks",
    "softmax",
    "templates",
]
