"""The lines of mistakes among a solution's lines in `parsons`: (the right line, a wrong one).

That each right line is one of the solution's, and that `check` catches the wrong one in its place,
is tested.
"""

DISTRACTORS: dict[str, tuple[tuple[str, str], ...]] = {
    "01-roi-pool": (
        ("        return int(math.copysign(math.floor(abs(number) + 0.5), number))",
         "        return round(number)"),
        ("        step = max(last - first + 1, 1) / size",
         "        step = max(last - first, 1) / size"),
        ("                out[i, j] = features[top:bottom, left:right].max()",
         "                out[i, j] = features[top:bottom, left:right].mean()"),
    ),
    "02-half-open": (
        ("        second = first + second",
         "        second = first + second - 1"),
        ("        first = first - 1",
         "        first, second = first - 1, second - 1"),
    ),
    "02-sample": (
        ("    position = x / stride - (0.5 if aligned else 0.0)",
         "    position = (x - 0.5) / stride if aligned else x / stride"),
        ("    return (1 - part) * values[low] + part * values[high]",
         "    return part * values[low] + (1 - part) * values[high]"),
    ),
    "03-bilinear": (
        ("    top, left = math.floor(y), math.floor(x)",
         "    top, left = round(y), round(x)"),
        ("    v, u = y - top, x - left",
         "    u, v = y - top, x - left"),
        ("    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)",
         "    bottom, right = top + 1, left + 1"),
    ),
    "03-roi-align": (
        ("    corners = boxes * scale - (0.5 if aligned else 0.0)  # [R, 4]",
         "    corners = (boxes * scale).round()  # [R, 4]"),
        ("    part = (torch.arange(size * ratio) + 0.5) / (size * ratio)",
         "    part = torch.arange(size * ratio) / (size * ratio)"),
        ("    return values.mean((3, 5)).transpose(0, 1)  # [R, C, P, P]",
         "    return values.sum((3, 5)).transpose(0, 1)  # [R, C, P, P]"),
    ),
    "04-border": (
        ("            if not (-1 <= row <= height and -1 <= column <= width):",
         "            if not (0 <= row <= height - 1 and 0 <= column <= width - 1):"),
        ("    return total / (len(y) * len(x))",
         "    return total"),
    ),
    "05-backward": (
        ("        return hat.view(size, ratio, n).mean(1)",
         "        return hat.view(size, ratio, n).sum(1)"),
        ("        out += rows.T @ g @ columns  # [C, h, w]",
         "        out = rows.T @ g @ columns  # [C, h, w]"),
    ),
    "05-box-gradient": (
        ("    return torch.stack([along_x, along_y, along_x, along_y]) * scale / 2",
         "    return torch.stack([-along_x, -along_y, along_x, along_y]) * scale / 2"),
        ("    return torch.stack([along_x, along_y, along_x, along_y]) * scale / 2",
         "    return torch.stack([along_x, along_y, along_x, along_y]) * scale"),
    ),
    "05-matrix": (
        ("    part = (torch.arange(size * ratio) + 0.5) / ratio",
         "    part = torch.arange(size * ratio) / ratio"),
        ("    return hat.view(size, ratio, n).mean(1)",
         "    return hat.view(size, ratio, n).sum(1)"),
    ),
    "06-pyramid": (
        ("    side = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()  # [R]",
         "    side = (boxes[:, 2:] - boxes[:, :2]).prod(1)  # [R]"),
        ("        out[rows] = ops.roi_align(feature[None], *args, aligned=False)",
         "        out[rows] = ops.roi_align(feature[None], *args, aligned=True)"),
    ),
    "07-nms": (
        ("    order = scores.sort(descending=True, stable=True).indices",
         "    order = scores.sort(stable=True).indices"),
        ("        if all(iou[i, j] <= threshold for i in keep):",
         "        if all(iou[i, j] < threshold for i in keep):"),
    ),
    "07b-matcher": (
        ("    best, matched = iou.max(dim=0)",
         "    best, matched = iou.max(dim=1)"),
        ("    rescued = (iou == best_of_object) & (best_of_object > 0)",
         "    rescued = iou == best_of_object"),
    ),
    "08-mask-head": (
        ("        layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()]",
         "        layers += [nn.Conv2d(channels, channels, 3), nn.ReLU()]"),
        ("    layers.append(nn.Conv2d(channels, num_classes, 1))",
         "    layers.append(nn.Conv2d(channels, num_classes, 3, padding=1))"),
    ),
    "10-paste": (
        ("    x2, y2 = (int(value) + 1 for value in centre + half)",
         "    x2, y2 = (int(value) for value in centre + half)"),
        ("    scale = (len(mask) + 2) / len(mask)",
         "    scale = 1"),
    ),
    "13-average-precision": (
        ("        first = next((i for i, r in enumerate(recall) if r >= point), None)",
         "        first = next((i for i, r in enumerate(recall) if r > point), None)"),
        ("        values.append(0.0 if first is None else precision[first])",
         "        values.append(precision[-1] if first is None else precision[first])"),
    ),
    "14-paired-bootstrap": (
        ("        objects = np.concatenate([np.flatnonzero(image == i) for i in drawn_images])",
         "        objects = np.flatnonzero(np.isin(image, drawn_images))"),
        ("        means.append(difference[drawn_seeds][:, objects].mean())",
         "        means.append(difference[:, objects].mean())"),
    ),
    "14-verdict": (
        ("    if -margin < low and high < margin:",
         "    if low < 0 < high:"),
        ('    return "reversed" if low > margin or high < -margin else "undecided"',
         '    return "reversed" if low > 0 or high < 0 else "undecided"'),
    ),
    "15-keypoint-loss": (
        ("    cells = place[..., 1] * size + place[..., 0]",
         "    cells = place[..., 0] * size + place[..., 1]"),
        ("    valid = ((xy >= low) & (xy < high)).all(dim=2) & (v > 0)",
         "    valid = ((xy >= low) & (xy < high)).all(dim=2) & (v == 2)"),
    ),
    "15-decode": (
        ("        return (c - a) / (2 * (2 * b - a - c))",
         "        return (a - c) / (2 * (2 * b - a - c))"),
        ("            points[k, n, 1] = y1 + y / size * (y2 - y1)",
         "            points[k, n, 1] = y1 + y / size * (x2 - x1)"),
    ),
    "16-touched": (
        ("                read |= {min(int(at), n - 1), min(int(at) + 1, n - 1)}",
         "                read |= {min(int(at), n - 1)}"),
        ("                at = start + (p + (s + 0.5) / ratio) * length / size",
         "                at = start + (p + s / ratio) * length / size"),
    ),
    "18-label-maps": (
        ('        for inside in mask.flatten("F"):',
         "        for inside in mask.flatten():"),
        ("        bbox = [x, y, columns.max() + 1 - x, rows.max() + 1 - y]",
         "        bbox = [x, y, columns.max() - x, rows.max() - y]"),
    ),
    "18-repair": (
        ("        x2, y2 = min(x + w, width), min(y + h, height)",
         "        x2, y2 = min(x1 + w, width), min(y1 + h, height)"),
        ("        if x2 > x1 and y2 > y1:",
         "        if w > 0 and h > 0:"),
    ),
    "20-tiles": (
        ("    boxes = boxes + windows[:, [0, 1, 0, 1]]",
         "    boxes[:, :2] = boxes[:, :2] + windows[:, :2]"),
        ("    boxes = boxes + windows[:, [0, 1, 0, 1]]",
         "    boxes = boxes + windows[:, [1, 0, 1, 0]]"),
    ),
}  # fmt: skip
