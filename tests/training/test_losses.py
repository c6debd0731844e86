import keras
import numpy as np

from unet.training.losses import compile_arguments, cross_entropy_dice, dice


def test_dice_of_each_image_with_two_empty_masks_counting_as_one():
    truth = np.zeros((4, 2, 3, 1), "float32")
    guess = np.full((4, 2, 3, 1), 0.2, "float32")
    truth[0, 0, :2] = 1
    guess[0, 0, 1:] = 0.7  # one of two hit, one false alarm → 2·1 / (2 + 2)
    truth[1, 0, 0] = 1  # missed → 0
    guess[2, 0, 0] = 0.9  # false alarm on a normal image → 0
    np.testing.assert_allclose(dice(truth, guess), [0.5, 0, 0, 1])


def test_dice_is_averaged_over_images_not_over_batches():
    model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Activation("linear")])
    model.compile(**compile_arguments())
    truth = np.zeros((3, 2, 2, 1), "float32")
    truth[2] = 1
    guess = np.full((3, 2, 2, 1), 0.1, "float32")  # right on two normal images, misses the third
    result = model.evaluate(guess, truth, batch_size=2, verbose=0, return_dict=True)
    assert np.isclose(result["dice"], 2 / 3)
    assert np.isclose(result["accuracy"], 2 / 3)
    assert np.isclose(result["loss"], -(2 * np.log(0.9) + np.log(0.1)) / 3, atol=1e-5)


def test_cross_entropy_plus_soft_dice_by_hand():
    truth = np.zeros((2, 2, 2, 1), "float32")
    truth[0, 0] = 1  # two of four pixels
    guess = np.full((2, 2, 2, 1), 0.25, "float32")
    entropy = [-(np.log(0.25) + np.log(0.75)) / 2, -np.log(0.75)]
    overlap, total = 2 * 0.25, 2 + 1
    soft = [1 - 2 * overlap / total, 0]  # no Dice where there is no lesion
    np.testing.assert_allclose(cross_entropy_dice(truth, guess), np.add(entropy, soft), rtol=1e-5)


def test_a_perfect_answer_costs_nothing_also_where_there_is_no_lesion():
    truth = np.zeros((2, 4, 4, 1), "float32")
    truth[0, 1:3, 1:3] = 1
    np.testing.assert_allclose(cross_entropy_dice(truth, truth), [0, 0], atol=1e-6)
