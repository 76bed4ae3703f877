"""The codec against its definition, and tables against decoding."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.errors import UsageError
from tokenry.ops.kmeans import spherical_kmeans
from tokenry.ops.residual import ResidualCodec, pack, unpack
from tokenry.ops.similarity import unit
from tokenry.ops.warp import Groups, grouped, missing, tables, warp_scores


def directions(n, d=16, seed=0):
    return unit(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)))


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([1, 2, 4, 8]), st.integers(0, 5), st.integers(1, 3))
def test_packing_loses_nothing(bits, rows, width):
    buckets = torch.randint(0, 1 << bits, (rows, width * 8 // bits)).to(torch.uint8)
    packed = pack(buckets, bits)
    assert packed.shape == (rows, width)
    assert torch.equal(unpack(packed, bits), buckets)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_code_is_the_bucket_of_each_residual(bits):
    x, centroids = directions(200), directions(9, seed=1)
    codec = ResidualCodec.fit(x, centroids, bits)
    codes, packed = codec.encode(x)
    assert torch.equal(codes, (x @ centroids.T).argmax(1))
    residuals = x - centroids[codes]
    buckets = (residuals[..., None] > codec.cutoffs).sum(-1)
    assert torch.equal(unpack(packed, bits).long(), buckets)
    assert torch.allclose(codec.decode(codes, packed), centroids[codes] + codec.weights[buckets])
    shares = torch.bincount(buckets.flatten(), minlength=1 << bits) / buckets.numel()
    assert bool((shares - 2.0**-bits).abs().max() < 0.02)


def test_more_bits_are_nearer():
    x = directions(500)
    centroids = spherical_kmeans(x, 20)
    near = []
    for bits in (1, 2, 4):
        codec = ResidualCodec.fit(x, centroids, bits)
        near.append(float(torch.cosine_similarity(codec.decode(*codec.encode(x)), x).mean()))
    assert near == sorted(near)
    assert near[-1] > 0.98


def test_what_does_not_fill_bytes_is_refused():
    with pytest.raises(UsageError, match="3 bits for 16 dimensions"):
        ResidualCodec.fit(directions(9), directions(2), 3)
    with pytest.raises(UsageError, match="1 bits for 12 dimensions"):
        ResidualCodec.fit(directions(9, 12), directions(2, 12), 1)


def test_centroids_serve_better_with_each_round():
    x = directions(400)
    served = [
        float((x @ spherical_kmeans(x, 12, iterations=i).T).amax(1).mean()) for i in (0, 1, 4, 12)
    ]
    assert served == sorted(served)
    assert len(spherical_kmeans(x[:3], 12)) == 3


def test_no_cluster_stays_empty():
    x = torch.cat([torch.eye(4)[:1].repeat(30, 1), torch.eye(4)])
    centroids = spherical_kmeans(x, 4, iterations=8)
    assert len(torch.unique((x @ centroids.T).argmax(1))) == 4


def groups(x, owners, bits, clusters):
    codec = ResidualCodec.fit(x, spherical_kmeans(x, clusters), bits)
    codes, packed = codec.encode(x)
    order, bounds = grouped(codes.numpy(), len(codec.centroids))
    documents = int(owners.max()) + 1
    made = Groups(codec, bounds, packed.numpy()[order], owners[order].astype("u2"), documents)
    return made, codec.decode(codes, packed)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_tables_add_up_to_the_decompressed_similarity(bits):
    x, query = directions(50), directions(3, seed=2)
    codec = ResidualCodec.fit(x, spherical_kmeans(x, 5), bits)
    codes, packed = codec.encode(x)
    table = tables(query, codec)
    places = torch.arange(codec.width)
    found = (query @ codec.centroids.T)[:, codes] + table[:, places, packed.long()].sum(-1)
    assert torch.allclose(found, query @ codec.decode(codes, packed).T, atol=1e-5)


@pytest.mark.parametrize("probe", [1, 2, 5])
def test_scores_are_those_of_a_loop_over_clusters(probe):
    owners = np.repeat(np.arange(10), 6)
    made, _ = groups(directions(60), owners, 4, 8)
    query = directions(4, seed=2)
    sizes = np.diff(made.bounds)
    reach = math.sqrt(8 * 60)
    expected = np.zeros((4, 10))
    touched = np.zeros(10, bool)
    for i, token in enumerate(query):
        near = (made.codec.centroids @ token).numpy()
        best = np.argsort(-near)
        imputed = near[best[min(np.sum(sizes[best].cumsum() < reach), len(best) - 1)]]
        expected[i] = imputed
        seen = {}
        for cell in best[:probe]:
            for row in range(made.bounds[cell], made.bounds[cell + 1]):
                packed = torch.from_numpy(made.packed[row : row + 1])
                vector = made.codec.decode(torch.tensor([int(cell)]), packed)[0]
                seen.setdefault(int(made.owners[row]), []).append(float(token @ vector))
        for document, found in seen.items():
            expected[i, document], touched[document] = max(found), True
    scores = warp_scores(query, made, probe=probe)
    np.testing.assert_allclose(scores, np.where(touched, expected.sum(0), -np.inf), atol=1e-4)
    assert not np.isfinite(warp_scores(query, made, allowed=np.zeros(10, bool))).any()


def test_all_clusters_give_maxsim_of_the_decompressed_vectors():
    owners = np.repeat(np.arange(10), 6)
    made, decoded = groups(directions(60), owners, 2, 8)
    query = directions(4, seed=2)
    exact = (query @ decoded.T).view(4, 10, 6).amax(-1).sum(0)
    np.testing.assert_allclose(warp_scores(query, made, probe=99), exact, atol=1e-4)


def test_what_was_missed_lies_behind_as_many_tokens_as_are_reached():
    near = torch.tensor([[0.9, 0.1, 0.5]])
    sizes = torch.tensor([2, 10, 3])
    found = [
        round(float(missing(near, sizes, reach)), 1) for reach in (1.0, 2.0, 3.0, 5.0, 6.0, 99.0)
    ]
    assert found == [0.9, 0.9, 0.5, 0.5, 0.1, 0.1]
