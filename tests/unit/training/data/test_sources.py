"""Sources of texts: token ids are padded batch by batch, and several data sets are one."""

import numpy as np

from model.preprocess import Tokens
from training.data.sources import TokenTable, _join_texts


def table(*texts: list[int]) -> TokenTable:
    return TokenTable([np.array(text, np.int64) for text in texts])


def test_a_batch_is_padded_to_its_longest_text() -> None:
    batch = table([1, 2, 3, 4, 5], [6, 7], [8]).batch(np.array([2, 1]))
    assert batch.input_ids.tolist() == [[8, 0], [6, 7]]
    assert batch.attention_mask.tolist() == [[1, 0], [1, 1]]


def test_padding_of_the_tokenizer_is_taken_off() -> None:
    tokens = Tokens(np.array([[5, 6, 0], [7, 8, 9]]), np.array([[1, 1, 0], [1, 1, 1]]), np.zeros(2, bool))
    assert [ids.tolist() for ids in TokenTable.of(tokens).texts] == [[5, 6], [7, 8, 9]]


def test_token_ids_of_several_data_sets_follow_each_other() -> None:
    joined = _join_texts([table([1], [2, 3]), table([4, 5, 6])])
    assert joined.batch(np.array([2, 0])).input_ids.tolist() == [[4, 5, 6], [1, 0, 0]]  # type: ignore[union-attr]
