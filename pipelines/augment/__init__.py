"""Image augmentation: sample parameters per image, compose them, render each image once.

    AugmentConfig ──▶ AugmentationPlan ──▶ ViewParameters ──▶ Renderer
    the recipe's      samples each         one matrix, one     uint8 [B, S, S, 3]
    [augment]         operation            color map, filters

A sample is a function of (seed, pass, image index) alone. To add an operation, write a
class and a row in the module of its stage (geometry, crops, color, filters, mixing); a
filter also needs a kernel in each renderer.
"""
