"""Exercise 4: the gradient of the softmax cross-entropy.

Write `cross_entropy_gradient`. `make exercise N=4` judges it, or `python experiments/exercise.py 4`.

Softmax makes probabilities of the logits x of an example, p_k = exp(x_k) / Σ_j exp(x_j), and the example's loss is −log
of the probability of its label. Write the loss as a function of the logits, simplify the logarithm, and take the
derivative in x_k: once where k is the label, and once where it is not. One formula comes out that holds for both.

Mind large logits: 300 is a logit that networks do have, and exp(300) is more than float32 holds.
"""

import numpy as np


def cross_entropy_gradient(logits, labels):
    """logits: [N, K], float32. labels: [N] int32, from 0 to K − 1.

    Returns d_logits: [N, K], the gradient of the mean of the losses over the N examples.

    An example, of two examples with equal logits, of which the labels are 0 and 2:

        logits          d_logits
        0  0  0         −1/3  1/6   1/6
        0  0  0          1/6  1/6  −1/3

    What is the sum of each row, and why?
    """
    raise NotImplementedError


if __name__ == "__main__":  # the example
    print(cross_entropy_gradient(np.zeros((2, 3), np.float32), np.array([0, 2])))
