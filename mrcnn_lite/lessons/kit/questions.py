"""What later notebooks ask about each notebook, every question once: see `recall.py`.

A whole number is asked for exactly, another one to about 1 %. That the numbers are what the package
computes is tested.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """A question, its answer, one sentence that says why, and what there is to choose from."""

    text: str
    answer: str | int | float
    because: str
    options: tuple[str, ...] = ()


_Q = Question

QUESTIONS: dict[str, tuple[Question, ...]] = {
    "00": (
        _Q("Which block has no weights?", "RoIAlign", "It only reads and averages features.",
           ("the RPN", "RoIAlign", "the box branch", "the mask branch")),
        _Q("Of the reference model's weights, how many percent does the mask branch hold?", 6,
           "Convolutions are used at every cell, so there are few weights."),
        _Q("Which part says of what class an object is?", "the box branch",
           "The mask branch draws one outline per class and leaves the choice to the box branch.",
           ("the box branch", "the mask branch", "both, by a vote")),
        _Q("Beside RoIAlign, what does Mask R-CNN add to Faster R-CNN?", "a mask branch",
           "It stands parallel to the box branch.",
           ("a mask branch", "an RPN", "a feature pyramid")),
    ),
    "01": (
        _Q("A corner lies at 80 px, the stride is 32: 80 / 32 = 2.5. To which cell does RoIPool "
           "round it?", 3, "Halves go away from zero. Python's round would say 2."),
        _Q("RoIPool's rounded corners are 0 and 4. How many cells wide is the window?", 5,
           "Both end cells belong to it: end - start + 1."),
        _Q("A window of 5 cells becomes 2 bins. How many cells wide is each?", 3,
           "Starts round down and ends round up, so both bins hold the middle cell."),
    ),
    "02": (
        _Q("Stride 32, aligned=False: by how many image px is everything read too far right?", 16,
           "Half an element of the map is half a stride of the image."),
        _Q("A pixel is an area. At which x is the middle of pixel 0?", 0.5,
           "It reaches from 0 to 1."),
        _Q("A half-open box reaches from x1 = 2 to x2 = 5. How wide is it?", 3,
           "x2 - x1; the + 1 belongs to inclusive ends."),
    ),
    "03": (
        _Q("A sample lies 0.25 to the right of an element and 0.5 below it. What is the weight of "
           "that element?", 0.375, "It is the area of the opposite rectangle, 0.75 x 0.5."),
        _Q("How many samples does a bin have at sampling_ratio=2?", 4, "The ratio is per axis."),
        _Q("What becomes of a sample that lies two elements outside the map?",
           "it counts as 0 in the mean", "The zero counts: the mean is over all samples.",
           ("it counts as 0 in the mean", "the mean is over the others",
            "it takes the value at the border")),
    ),
    "04": (
        _Q("Where does crop_and_resize put its first and last sample of an axis?",
           "on the edges of the box", "RoIAlign's lie half a step inside.",
           ("half a step inside the box", "on the edges of the box", "half a step outside")),
        _Q("What does sampling_ratio=0 mean?", "as many samples as the bin is long",
           "0 or less is adaptive: ceil(length of the bin) samples per axis.",
           ("no sample", "one sample, at the centre", "as many samples as the bin is long")),
        _Q("The sampling ratio is doubled. By about which factor does the error of a bin's mean "
           "fall on a smooth map?", 4, "The error goes with the square of the step."),
    ),
    "05": (
        _Q("2 x 2 bins at ratio 2: how many elements of the 6 x 6 map get a gradient?", 25,
           "The four samples of each bin read 3 x 3 elements, and neighbours share them."),
        _Q("Two samples read the same element. What does the backward pass do with their parts?",
           "it adds them", "out[index] += part forgets one of them; index_add does not.",
           ("it adds them", "it keeps the larger", "it keeps the last")),
        _Q("Which gradient do the boxes get from torchvision's roi_align?", "None",
           "RoIAlign has one, and two small matrices give it.",
           ("the true one", "zeros", "None")),
    ),
    "06": (
        _Q("From which level P2 to P5 is a box of 114 x 114 px pooled?", 3,
           "floor(4 + log2(114 / 224)) = 3: stride 8."),
        _Q("P2 has stride 4. Which stride has P5?", 32, "Each level doubles it."),
        _Q("With FPN, how many cells wide are the features that the mask branch gets?", 14,
           "It has a RoIAlign of its own; the box branch gets 7 x 7."),
    ),
    "07": (
        _Q("Which boxes may suppress another one in NMS?", "better ones that were kept",
           "A box that was suppressed suppresses nobody.",
           ("all better ones", "better ones that were kept", "the best one only")),
        _Q("By how many numbers does the RPN move one anchor?", 4,
           "Two shift its centre, two scale its sides."),
        _Q("An anchor is 40 px wide and its first delta is 0.5. By how many px does its centre "
           "move to the right?", 20, "The shift counts widths of the anchor."),
    ),
    "07b": (
        _Q("512 RoIs are drawn for an image. How many may be positive?", 128,
           "One in four, at most."),
        _Q("An anchor's best IoU is 0.5, and each object has better anchors. With 0.7 and 0.3 as "
           "thresholds, what is it?", "ignored", "It lies between: no loss looks at it.",
           ("positive", "background", "ignored")),
        _Q("What joins the proposals before RoIs are drawn for training?", "the true boxes",
           "So every object has a positive RoI, even when the RPN is still blind.",
           ("the true boxes", "the anchors", "nothing")),
    ),
    "08": (
        _Q("FPN's mask is 28 cells wide. How wide is that of C4?", 14,
           "res5 halves the 14 cells to 7, one deconvolution doubles them."),
        _Q("How many 3 x 3 convolutions stand before the deconvolution?", 4,
           "They keep 14 x 14; nothing is flattened."),
        _Q("Kernel 2, stride 2: how many input cells write each output cell?", 1,
           "So there is no checkerboard."),
    ),
    "09": (
        _Q("All mask logits are 0. What is the mask loss?", math.log(2),
           "A sigmoid of 0 is 0.5, and -ln 0.5 = ln 2."),
        _Q("Of a positive RoI's masks, which get a gradient?", "the true class's",
           "The classes do not compete; the other channels are not looked at.",
           ("all", "the true class's", "the most probable class's")),
        _Q("Why does loss_mask stay above 0 with torchvision's targets?", "the targets are soft",
           "A cell that the outline cuts has a target between 0 and 1, and that has entropy.",
           ("the masks are small", "the targets are soft", "a sigmoid never reaches 1")),
    ),
    "10": (
        _Q("An all-ones mask is pasted into [50, 50, 78, 78], 784 px. How many does torchvision "
           "mark?", 841, "It cuts the box to integers and adds one px: 29 x 29."),
        _Q("Which comes first?", "resize",
           "A mask that is cut at 0.5 before it is enlarged has stairs.",
           ("resize", "threshold", "it does not matter")),
        _Q("Which boxes reach the mask branch at test time?", "the final detections",
           "They are fewer and lie better than proposals.",
           ("the proposals", "the final detections", "the true boxes")),
    ),
    "11": (
        _Q("How many times does a detected object read the features at test time?", 2,
           "Once to be boxed and named, once more to be outlined."),
        _Q("How many detections of an image does torchvision keep at most?", 100,
           "The best ones after NMS, of all classes together."),
        _Q("May RoIPool stand in for RoIAlign in a trained network?",
           "no: it was trained with the other", "The weights know the features they have seen.",
           ("yes: neither has weights", "no: it was trained with the other")),
    ),
    "12": (
        _Q("Six classes, the background included. What is loss_classifier before step 1?",
           math.log(6), "All classes are equally probable: ln 6."),
        _Q("Why are the first steps of a training the smallest?",
           "the first gradients are the wildest", "That is the warm-up.",
           ("the first gradients are the wildest", "the first images are easier",
            "memory fills up slowly")),
        _Q("What should a network be able to do before you train it for long?",
           "learn one image by heart", "If that fails, more training will not help.",
           ("detect anything at all", "learn one image by heart", "reach an AP of 0.1")),
    ),
    "13": (
        _Q("Two detections lie well on one object. What are they?",
           "the better score right, the other wrong", "An object can be found once.",
           ("both right", "the better score right, the other wrong", "half right each")),
        _Q("AP is a mean over how many IoU thresholds?", 10, "0.50, 0.55 ... 0.95."),
        _Q("At how many recalls is the precision read?", 101, "0.00, 0.01 ... 1.00."),
    ),
    "14": (
        _Q("Eight pairs, all differences of one sign. What is the two-sided p of a sign-flip test?",
           2 / 2**8, "Two of 256 sign patterns are as extreme."),
        _Q("And with three pairs?", 2 / 2**3, "So three seeds can never support a verdict."),
        _Q("The whole interval lies within the margin. What is the verdict?",
           "no difference at this scale", "That is a finding, not a failure to find.",
           ("undecided", "no difference at this scale", "reproduced")),
    ),
    "15": (
        _Q("A keypoint is one of 56 x 56 places. What is its loss before training?",
           math.log(56 * 56), "All places are equally probable: ln 3136."),
        _Q("What competes in the softmax of the keypoint loss?", "the places of one map",
           "A point is somewhere once; other points have maps of their own.",
           ("the places of one map", "the points", "the classes")),
    ),
    "16": (
        _Q("How many numbers of the map go into one output number at ratio 2?", 16,
           "Four samples of four corners each."),
        _Q("Of a sector of 32 bytes one float32 is used. Which part is that?", 1 / 8,
           "4 of 32 bytes."),
    ),
    "17": (
        _Q("Why can one seed give two networks on a GPU?", "sums are added in another order",
           "Atomics leave the order to chance, and floats round.",
           ("the seed is ignored", "sums are added in another order", "bfloat16 is random")),
        _Q("Which line makes the host wait for the GPU?", "loss.item()",
           "A number can only be read when it is computed.",
           ("loss.detach()", "loss.item()", "loss * 2")),
    ),
    "18": (
        _Q("NaN in one of the first steps, whatever the images. What do you suspect?",
           "the learning rate", "With the same images again and again it would be the data.",
           ("the data", "the learning rate", "the GPU")),
    ),
    "19": (
        _Q("The paper's four points per bin: which sampling_ratio is that?", 2, "2 x 2 points."),
    ),
    "20": (),
}  # fmt: skip
