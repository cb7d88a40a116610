"""The published rules written down as plain loops, to check the fast evaluation against."""

import numpy as np


def iou(box, gt, metric='iou', extra=1.0):
    """Overlap of one box with one, of any number of dimensions."""
    dims = len(box) // 2
    inter = box_size = gt_size = 1.0
    for low in range(dims):
        high = low + dims
        inter *= max(min(box[high], gt[high]) - max(box[low], gt[low]) + extra, 0.0)
        box_size *= box[high] - box[low] + extra
        gt_size *= gt[high] - gt[low] + extra
    part = {'iou': box_size + gt_size - inter, 'iobb': box_size, 'iogt': gt_size}
    return inter / part.get(metric, min(box_size, gt_size))


def boxes_froc(boxes_of, gts_of, levels, metric, threshold):
    """DeepLesion and LENS: lists, item by item, of (n, 2 d + 1) boxes and (m, 2 d) lesions."""
    item = np.concatenate([[i] * len(boxes) for i, boxes in enumerate(boxes_of)]).astype(int)
    boxes = np.vstack(boxes_of)
    order = np.argsort(boxes[:, -1])[::-1]
    hit = [np.zeros(len(gts), dtype=bool) for gts in gts_of]
    found, missed, sensitivity, fp = 0, 0, [], []
    total = sum(len(gts) for gts in gts_of)
    for i in order:
        reached = [iou(boxes[i, :-1], gt, metric) >= threshold for gt in gts_of[item[i]]]
        if not any(reached):
            missed += 1
        for lesion in np.flatnonzero(reached):
            found += not hit[item[i]][lesion]
            hit[item[i]][lesion] = True
        sensitivity.append(found / total)
        fp.append(missed / len(gts_of))
    fp, sensitivity = np.array(fp), np.array(sensitivity)
    low, high = levels < fp[0], levels > fp[-1]
    read = np.interp(levels, fp, sensitivity)
    return np.where(low, 0, np.where(high, sensitivity[-1], read)), fp, sensitivity


def luna16_froc(marks_of, nodules_of, levels, limit=100):
    """LUNA16: lists, scan by scan, of marks (x, y, z, p) and of findings (x, y, z, d, ignored)."""
    best, false, total = [], [], 0
    for marks, nodules in zip(marks_of, nodules_of):
        if len(marks) > limit:
            threshold = sorted((mark[3] for mark in marks), reverse=True)[limit]
            marks = [mark for mark in marks if mark[3] > threshold][:limit]
        inside_any = [False] * len(marks)
        for x, y, z, diameter, ignored in nodules:
            radius = (10.0 if diameter < 0 else diameter) / 2
            reached = []
            for i, (mx, my, mz, p) in enumerate(marks):
                if (x - mx) ** 2 + (y - my) ** 2 + (z - mz) ** 2 < radius**2:
                    inside_any[i] = True
                    reached.append(p)
            total += not ignored
            if reached and not ignored:
                best.append(max(reached))
        false += [mark[3] for mark, inside in zip(marks, inside_any) if not inside]
    scores = sorted({*best, *false}, reverse=True)
    found = np.array([0] + [sum(p >= score for p in best) for score in scores], dtype=float)
    wrong = np.array([0] + [sum(p >= score for p in false) for score in scores], dtype=float)
    if wrong[-1]:
        wrong = wrong / wrong[-1] * wrong[-1]
    return np.interp(levels, wrong / len(marks_of), found / total)
