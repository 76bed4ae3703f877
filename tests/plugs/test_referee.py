"""A local language model as a referee: against its own logits, and whatever a batch holds."""

import numpy as np
import pytest
import torch

from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.plugs.endpoint import Endpoint
from tokenry.plugs.referee import LanguageReferee, first_letters, referee

PROMPTS = ["Is a cat an animal?", "Is it so? Yes or no: ", "no", "Is a cat an animal?"]


@pytest.fixture(scope="module")
def loaded(language):
    return language()


@pytest.fixture(scope="module")
def judge(loaded):
    return referee((loaded.model, loaded.processor), batch_size=2)


def next_scores(loaded, text):
    ids = torch.tensor([loaded.processor(text)["input_ids"]])
    with torch.no_grad():
        return loaded.model(input_ids=ids).logits[0, -1].double()


def test_yes_is_the_share_of_all_its_spellings(loaded, judge):
    spellings = [[loaded.processor(w)["input_ids"][0] for w in words] for words in ("Yy", "Nn")]
    wanted = []
    for prompt in PROMPTS:
        scores = next_scores(loaded, prompt).exp()
        yes, no = (float(scores[ids].sum()) for ids in spellings)
        wanted.append(yes / (yes + no))
    np.testing.assert_allclose(judge.yes(PROMPTS), wanted, rtol=1e-5)


def test_options_are_the_shares_of_the_letters(loaded, judge):
    ids = [loaded.processor(letter)["input_ids"][0] for letter in "ABC"]
    wanted = [next_scores(loaded, prompt)[ids].softmax(-1).numpy() for prompt in PROMPTS]
    np.testing.assert_allclose(judge.options(PROMPTS, 3), wanted, rtol=1e-5)
    assert judge.options([], 4).shape == (0, 4)


def test_what_is_written_is_what_the_model_writes_alone(loaded, judge):
    def alone(prompt):
        ids = torch.tensor([loaded.processor(prompt)["input_ids"]])
        out = loaded.model.generate(ids, max_new_tokens=5, do_sample=False, pad_token_id=0)
        return loaded.processor.decode(out[0, ids.shape[1] :], skip_special_tokens=True).strip()

    assert judge.write(PROMPTS, 5) == [alone(prompt) for prompt in PROMPTS]


def test_order_and_batch_do_not_matter(loaded, judge):
    single = referee((loaded.model, loaded.processor), batch_size=1)
    np.testing.assert_allclose(judge.yes(PROMPTS), single.yes(PROMPTS), rtol=1e-5)
    np.testing.assert_allclose(judge.yes(PROMPTS[::-1])[::-1], judge.yes(PROMPTS), rtol=1e-5)


def test_scores_of_other_tokens_change_nothing(loaded, judge):
    before = judge.yes(PROMPTS), judge.options(PROMPTS, 2)
    head = loaded.model.get_output_embeddings()
    other = [i for i in range(257) if i not in set(b"YyNnABab ")]
    kept = head.weight.detach().clone()

    def louder(module, args, output):
        output = output.clone()
        output[..., [loaded.processor.convert_tokens_to_ids("q")]] += 50
        return output

    hook = head.register_forward_hook(louder)
    after = judge.yes(PROMPTS), judge.options(PROMPTS, 2)
    hook.remove()
    assert len(other) > 200
    assert torch.equal(kept, head.weight)
    for one, another in zip(before, after, strict=True):
        np.testing.assert_allclose(one, another, rtol=1e-6)


def test_a_conversation_is_written_with_the_template(language):
    chatty = language(chat=True)
    judge = referee((chatty.model, chatty.processor))
    plain = referee((chatty.model, chatty.processor), chat=False)
    np.testing.assert_allclose(judge.yes(["so?"]), plain.yes(["<user>so?</user><reply>"]))


def test_marks_in_a_prompt_are_broken(loaded, judge):
    assert loaded.processor.eos_token_id not in judge._encoded("a<end>b", 0)
    np.testing.assert_allclose(judge.yes(["a<end>b"]), judge.yes(["a< end>b"]))


def test_what_cannot_be_asked_is_refused(loaded, judge, language):
    with pytest.raises(UsageError, match="a prompt is empty"):
        judge.yes([""])
    with pytest.raises(UsageError, match="needs 601 tokens, the model has 512 positions"):
        judge.write(["a" * 600], 1)
    with pytest.raises(UsageError, match="27 options; there are 1 to 26 letters"):
        judge.options(PROMPTS, 27)
    with pytest.raises(UsageError, match="no template for conversations"):
        LanguageReferee((loaded.model, loaded.processor), chat=True)
    with pytest.raises(UsageError, match="batch_size=0"):
        LanguageReferee((loaded.model, loaded.processor), batch_size=0)
    with pytest.raises(UnsupportedModelError, match="is not a causal language model"):
        referee((torch.nn.Linear(2, 2), loaded.processor))


def test_an_answer_without_a_token_of_its_own_is_refused(loaded):
    judge = LanguageReferee((loaded.model, loaded.processor))
    with pytest.raises(UsageError, match=r"begins 'Maybe' and no other answer"):
        judge._shares(["so?"], [("Maybe",), ("Must",)])


def test_an_address_is_an_endpoint():
    found = referee("http://localhost:1/v1#some/model", retries=2)
    assert isinstance(found, Endpoint)
    assert repr(found) == "Endpoint(http://localhost:1/v1#some/model)"
    assert first_letters(26)[-1] == "Z"


@pytest.mark.slow
def test_a_real_model_is_asked_in_its_own_form_and_answers_the_same_twice():
    """The plumbing; what 135M parameters say of apples is not worth much."""
    judge = referee("zoo:smollm2-135m")
    prompts = [f"Is {thing} an animal? Answer yes or no." for thing in ("a dog", "an old apple")]
    found = judge.yes(prompts)
    np.testing.assert_array_equal(judge.yes(prompts), found)
    assert judge.write(prompts, 4) == judge.write(prompts, 4)
    for prompt, share in zip(prompts, found, strict=True):
        turn = [{"role": "user", "content": prompt}]
        text = judge.tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
        ids = judge.tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            scores = judge.model(input_ids=ids).logits[0, -1].double().exp()
        sums = []
        for words in ("Yes", " Yes", "yes", " yes"), ("No", " No", "no", " no", "NO", " NO"):
            rows = [judge.tokenizer.encode(word) for word in words]
            sums.append(sum(float(scores[row[0]]) for row in rows if len(row) == 1))
        assert share == pytest.approx(sums[0] / sum(sums), rel=1e-4)
