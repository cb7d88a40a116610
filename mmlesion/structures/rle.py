import numpy as np
from pycocotools import mask as mask_utils


def encode_mask(mask):
    """COCO's compressed RLE of an (H, W) bool mask, its counts as text."""
    rle = mask_utils.encode(np.asfortranarray(mask, np.uint8))
    return {'size': rle['size'], 'counts': rle['counts'].decode('ascii')}
