# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Hugging Face networks from a local folder, without downloads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from streets import street

from ros_kd.images import RawPixels
from ros_kd.label_sets import get_taxonomy
from training.sampling import Grid, bilinear
from training.teachers.huggingface import HuggingFace, class_ids

transformers = pytest.importorskip('transformers')


@pytest.fixture
def segformer(tmp_path):
    """A tiny network with random weights, saved as safetensors, with its image processor."""
    torch.manual_seed(0)
    config = transformers.SegformerConfig(
        hidden_sizes=[8, 8, 8, 8], depths=[1] * 4, num_attention_heads=[1] * 4, decoder_hidden_size=8,
        id2label={0: 'Road', 1: 'traffic-sign', 2: 'spaceship'},
        label2id={'Road': 0, 'traffic-sign': 1, 'spaceship': 2})
    network = transformers.SegformerForSemanticSegmentation(config)
    network.save_pretrained(tmp_path)
    transformers.SegformerImageProcessor(size={'height': 64, 'width': 128}).save_pretrained(tmp_path)
    return tmp_path, network.eval()


def _view():
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    return replace(street().views[0], pixels=RawPixels(image)), image


def test_probabilities_are_those_of_the_network_between_its_cells(segformer):
    folder, network = segformer
    view, image = _view()
    uv = np.array([[3, 4], [40.2, 30.7], [79, 59]], np.float32)
    found = HuggingFace(str(folder), device='cpu').probabilities(view, uv)
    inputs = transformers.AutoImageProcessor.from_pretrained(folder)(images=image, return_tensors='pt')
    with torch.no_grad():
        scores = network(**inputs).logits[0].softmax(0).numpy()
    expected = bilinear(scores, uv, Grid.covering((32, 16), (80, 60)))
    assert np.allclose(found[:, [0, 7]], expected[:, :2], atol=1e-5)
    assert np.allclose(found.sum(1), 1 - expected[:, 2], atol=1e-5)  # a spaceship is nothing of Cityscapes


def test_a_folder_without_an_image_processor_is_prepared_as_for_imagenet(segformer):
    folder, _ = segformer
    view, _ = _view()
    uv = np.array([[40, 30]], np.float32)
    processed = HuggingFace(str(folder), size=(64, 128), device='cpu').probabilities(view, uv)
    (folder / 'preprocessor_config.json').unlink()
    own = HuggingFace(str(folder), size=(64, 128), device='cpu').probabilities(view, uv)
    assert np.allclose(own, processed, atol=0.02)


def test_a_universal_network_sums_its_queries(tmp_path):
    torch.manual_seed(0)
    config = transformers.MaskFormerConfig(
        backbone_config=transformers.SwinConfig(embed_dim=8, depths=[1] * 4, num_heads=[1] * 4, window_size=2,
                                                image_size=64),
        decoder_config=transformers.DetrConfig(d_model=16, encoder_layers=1, decoder_layers=1, num_queries=5,
                                               encoder_attention_heads=2, decoder_attention_heads=2),
        fpn_feature_size=32, mask_feature_size=32, num_labels=2, id2label={0: 'road', 1: 'car'})
    transformers.MaskFormerForInstanceSegmentation(config).save_pretrained(tmp_path)
    view, _ = _view()
    teacher = HuggingFace(str(tmp_path), size=(64, 96), device='cpu')
    found = teacher.probabilities(view, np.array([[5, 5], [60, 40]], np.float32))
    assert found.shape == (2, 19) and (found >= 0).all() and (found.sum(1) <= 1 + 1e-5).all()
    assert (found[:, [0, 13]].sum(1) > 0).all()


def test_classes_are_found_by_name_and_can_be_renamed():
    street_12 = get_taxonomy('street-12')
    ids = class_ids({0: 'car; auto', 1: 'Two_Wheeler', 2: 'tree'}, street_12, {'tree': 'vegetation'})
    assert ids.tolist() == [8, 11, 6]
    with pytest.raises(ValueError, match="names map to \\['shrub'\\]"):
        class_ids({0: 'car'}, street_12, {'tree': 'shrub'})
    with pytest.raises(ValueError, match='no class of the network'):
        class_ids({0: 'cat', 1: 'dog'}, street_12, {})


def test_a_folder_without_a_network_is_named(tmp_path):
    with pytest.raises(ValueError, match=f'no segmentation network at "{tmp_path}"'):
        HuggingFace(str(tmp_path))
