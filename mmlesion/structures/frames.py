def to_original_frame(bboxes, metainfo):
    """Move predicted boxes from the clipped image's frame to the original image's.

    mmdet undoes the scale of a test pipeline but no crop, so what
    :class:`~mmlesion.datasets.transforms.ClipBlackBorder` cut off at the top and left is added.

    Args:
        bboxes (Tensor | ndarray): (n, 4) boxes x1, y1, x2, y2 in px, already rescaled by mmdet.
        metainfo (dict): A sample's meta information, with ``border_offset`` (x, y) in px of the
            original image where a border was clipped.

    Returns:
        Tensor | ndarray: (n, 4) boxes in px of the original image.
    """
    x, y = metainfo.get('border_offset', (0, 0))
    moved = bboxes + 0
    moved[:, 0::2] += x
    moved[:, 1::2] += y
    return moved
