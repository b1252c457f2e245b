"""What a trained network learned and where it errs, as arrays. One file per method; nothing here draws."""

from convnet.analysis.activation_maximization import Maximized, maximize_classes, maximize_units, usual_ink
from convnet.analysis.backprojection import (
    RELU_RULES,
    backproject,
    backproject_each,
    backproject_seeds,
    deconvnet_relu,
    guided_relu,
    saliency,
    under_rule,
)
from convnet.analysis.composed import composed_kernel
from convnet.analysis.correspondence import Correspondence, correspondence
from convnet.analysis.deep_dream import Dream, deep_dream
from convnet.analysis.errors import confident_errors, confusion_matrix, softmax
from convnet.analysis.faithfulness import Faithfulness, deletion_insertion
from convnet.analysis.feature_maps import FeatureMaps, feature_maps
from convnet.analysis.grad_cam import grad_cam
from convnet.analysis.gradient_noise import batch_noise, gradient_products
from convnet.analysis.handmade import (
    LinearAccuracy,
    compare_features,
    handmade_features,
    hog,
    hue_histogram,
    layer_features,
    linear_accuracy,
)
from convnet.analysis.integrated_gradients import IntegratedGradients, integrated_gradients
from convnet.analysis.inversion import Inversion, invert
from convnet.analysis.layer_table import LayerCost, layer_table
from convnet.analysis.nearest import nearest_images
from convnet.analysis.occlusion import Occlusion, occlusion
from convnet.analysis.randomization import Similarity, cascade, randomized, similarity, weighted_layers
from convnet.analysis.receptive_field import (
    effective_deviation,
    effective_receptive_field,
    effective_size,
    field_extent,
    receptive_field_box,
    receptive_fields,
)
from convnet.analysis.smoothgrad import smoothgrad
from convnet.analysis.style_transfer import Stylized, style_transfer
from convnet.analysis.templates import nearest_mean_accuracy, recognised_templates, template_scores
from convnet.analysis.top_patches import TopPatches, top_patches
from convnet.analysis.units import ClassSelectivity, UnitStatistics, class_selectivity, unit_statistics
from convnet.analysis.view import MEMORY, View, in_chunks
from convnet.analysis.weights import (
    FilterStatistics,
    aliased_energy,
    band_energy,
    class_means,
    filter_cosines,
    filter_statistics,
    first_layer_filters,
    folded_share,
    mean_likeness,
    orientation,
    templates,
)

__all__ = [
    "MEMORY",
    "RELU_RULES",
    "ClassSelectivity",
    "Correspondence",
    "Dream",
    "Faithfulness",
    "FeatureMaps",
    "FilterStatistics",
    "IntegratedGradients",
    "Inversion",
    "LayerCost",
    "LinearAccuracy",
    "Maximized",
    "Occlusion",
    "Similarity",
    "Stylized",
    "TopPatches",
    "UnitStatistics",
    "View",
    "aliased_energy",
    "backproject",
    "backproject_each",
    "backproject_seeds",
    "band_energy",
    "batch_noise",
    "cascade",
    "class_means",
    "class_selectivity",
    "compare_features",
    "composed_kernel",
    "confident_errors",
    "confusion_matrix",
    "correspondence",
    "deconvnet_relu",
    "deep_dream",
    "deletion_insertion",
    "effective_deviation",
    "effective_receptive_field",
    "effective_size",
    "feature_maps",
    "field_extent",
    "filter_cosines",
    "filter_statistics",
    "first_layer_filters",
    "folded_share",
    "grad_cam",
    "gradient_products",
    "guided_relu",
    "handmade_features",
    "hog",
    "hue_histogram",
    "in_chunks",
    "integrated_gradients",
    "invert",
    "layer_features",
    "layer_table",
    "linear_accuracy",
    "maximize_classes",
    "maximize_units",
    "mean_likeness",
    "nearest_images",
    "nearest_mean_accuracy",
    "occlusion",
    "orientation",
    "randomized",
    "receptive_field_box",
    "receptive_fields",
    "recognised_templates",
    "saliency",
    "similarity",
    "smoothgrad",
    "softmax",
    "style_transfer",
    "template_scores",
    "templates",
    "top_patches",
    "under_rule",
    "unit_statistics",
    "usual_ink",
    "weighted_layers",
]
