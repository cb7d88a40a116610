def file_shift(image):
    """Return what is added to x and y of an image's boxes in the file to have mmdet's frame.

    In mmdet's frame pixel n extends from n to n + 1; ``docs/datasets.md`` (Coordinates) says which
    frame the files have.

    Args:
        image (dict): Of a COCO file.

    Returns:
        float: px; 0 where the image has no ``pixel_center``.
    """
    return 0.5 - image.get('pixel_center', 0.5)


def file_box(annotation, image):
    """Return the box of an annotation in mmdet's frame.

    Args:
        annotation (dict): Of a COCO file, with ``bbox`` x, y, w, h.
        image (dict): Its image.

    Returns:
        list[float]: x1, y1, x2, y2 px, pixel n from n to n + 1.
    """
    x, y, w, h = annotation['bbox']
    x, y = x + file_shift(image), y + file_shift(image)
    return [x, y, x + w, y + h]


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
