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
from training.frames.sampling import Grid, bilinear
from training.teachers import NO_CLASSES
from training.teachers.backbone import Backbone
from training.teachers.huggingface import HuggingFace, class_ids
from training.teachers.pretrained import RecentMaps

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


def test_features_and_classifier_give_the_logits_of_the_network(segformer):
    folder, network = segformer
    view, image = _view()
    uv = np.array([[3, 4], [40.2, 30.7], [79, 59]], np.float32)
    teacher = HuggingFace(str(folder), device='cpu')
    before = teacher.probabilities(view, uv)
    features, classifier = teacher.features(view, uv), teacher.classifier
    inputs = transformers.AutoImageProcessor.from_pretrained(folder)(images=image, return_tensors='pt')
    with torch.no_grad():
        logits = network(**inputs).logits[0].numpy()
    expected = bilinear(logits, uv, Grid.covering((32, 16), (80, 60)))
    found = features @ classifier.weight.T + classifier.bias
    assert features.shape == (3, teacher.width) == (3, 8)
    assert np.allclose(found[:, [0, 7, 19]], expected, atol=1e-4)  # 19: the spaceship, behind the taxonomy
    assert np.allclose(classifier.probabilities(features)[:, 1:7], 0)  # what the network does not know
    assert [name for name in teacher.taxonomy.names if name] == ['road', 'traffic sign']
    assert np.allclose(teacher.probabilities(view, uv), before)


def test_classes_that_become_one_have_no_linear_classifier(segformer):
    teacher = HuggingFace(str(segformer[0]), names={'spaceship': 'car', 'traffic-sign': 'car'}, device='cpu')
    assert teacher.classifier is None
    view, _ = _view()
    assert np.allclose(teacher.probabilities(view, np.array([[9, 9]], np.float32))[:, [0, 13]].sum(1), 1, atol=1e-5)


def test_other_weights_have_another_identity(segformer):
    folder, network = segformer
    first = HuggingFace(str(folder), device='cpu').identity
    assert HuggingFace(str(folder), device='cpu').identity == first
    with torch.no_grad():
        network.decode_head.classifier.bias += 1
    network.save_pretrained(folder)
    assert HuggingFace(str(folder), device='cpu').identity != first


def test_a_network_without_a_trained_head_is_refused(tmp_path):
    config = transformers.SegformerConfig(hidden_sizes=[8] * 4, depths=[1] * 4, num_attention_heads=[1] * 4,
                                          decoder_hidden_size=8, id2label={0: 'road'}, label2id={'road': 0})
    transformers.SegformerModel(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match='lacks weights of a segmentation network.*such as decode_head'):
        HuggingFace(str(tmp_path), device='cpu')


def _maskformer(folder):
    config = transformers.MaskFormerConfig(
        backbone_config=transformers.SwinConfig(embed_dim=8, depths=[1] * 4, num_heads=[1] * 4, window_size=2,
                                                image_size=64),
        decoder_config=transformers.DetrConfig(d_model=16, encoder_layers=1, decoder_layers=1, num_queries=5,
                                               encoder_attention_heads=2, decoder_attention_heads=2),
        fpn_feature_size=32, mask_feature_size=32, num_labels=2, id2label={0: 'road', 1: 'car'})
    transformers.MaskFormerForInstanceSegmentation(config).save_pretrained(folder)


def _mask2former(folder):
    config = transformers.Mask2FormerConfig(
        backbone_config=transformers.SwinConfig(embed_dim=8, depths=[1] * 4, num_heads=[1] * 4, window_size=2,
                                                image_size=64, out_features=['stage1', 'stage2', 'stage3', 'stage4']),
        feature_size=32, mask_feature_size=32, hidden_dim=32, encoder_feedforward_dim=32, encoder_layers=1,
        decoder_layers=2, num_attention_heads=2, dim_feedforward=32, num_queries=5, num_labels=2,
        id2label={0: 'road', 1: 'car'})
    transformers.Mask2FormerForUniversalSegmentation(config).save_pretrained(folder)


@pytest.mark.parametrize('save', [_maskformer, _mask2former])
def test_a_universal_network_sums_its_queries_and_gives_its_pixel_embeddings(tmp_path, save):
    torch.manual_seed(0)
    save(tmp_path)
    view, image = _view()
    uv = np.array([[5, 5], [60, 40]], np.float32)
    teacher = HuggingFace(str(tmp_path), size=(64, 96), device='cpu')
    found, features = teacher.probabilities(view, uv), teacher.features(view, uv)
    assert found.shape == (2, 19) and (found >= 0).all() and (found.sum(1) <= 1 + 1e-5).all()
    assert (found[:, [0, 13]].sum(1) > 0).all()
    assert teacher.classifier is None and features.shape == (2, teacher.width) == (2, 32)
    with torch.no_grad():
        output = teacher.network(pixel_values=teacher.input(image))
    expected = output.pixel_decoder_last_hidden_state[0].numpy()
    grid = Grid.covering((expected.shape[2], expected.shape[1]), (80, 60))
    assert np.allclose(features, bilinear(expected, uv, grid), atol=1e-5)


@pytest.fixture
def resnet(tmp_path):
    """A tiny backbone with random weights, as safetensors."""
    torch.manual_seed(0)
    config = transformers.ResNetConfig(depths=[1, 2, 1, 1], hidden_sizes=[8, 8, 16, 16], embedding_size=8,
                                       layer_type='basic')
    transformers.ResNetModel(config).save_pretrained(tmp_path)
    return str(tmp_path)


def _wide_view():
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    view = street().views[0]
    return replace(view, camera=replace(view.camera, width=96, height=64), pixels=RawPixels(image))


def test_a_dilated_resnet_has_the_same_features_at_a_finer_stride(resnet):
    view, uv = _wide_view(), np.array([[0, 0], [32, 0], [64, 32]], np.float32)  # where the convolutions step to
    coarse = Backbone(resnet, device='cpu')
    assert coarse.width == 16 and coarse.taxonomy is NO_CLASSES
    for stride in (4, 8, 16):
        fine = Backbone(resnet, stride=stride, device='cpu')
        assert fine._run(view.image()).shape == (16, 64 // stride, 96 // stride)
        assert np.allclose(fine.features(view, uv), coarse.features(view, uv), atol=1e-4)
    with pytest.raises(ValueError, match='stride 5'):
        Backbone(resnet, stride=5, device='cpu')


def test_a_stage_of_a_backbone_can_be_asked_for(resnet):
    assert Backbone(resnet, stage='stage1', device='cpu')._run(_wide_view().image()).shape == (8, 16, 24)
    with pytest.raises(ValueError, match='stage9'):
        Backbone(resnet, stage='stage9', device='cpu')


@pytest.mark.parametrize('kind', ['Dinov2', 'ViT'])
def test_patches_of_a_vision_transformer_lie_where_they_were(tmp_path, kind):
    torch.manual_seed(0)
    config = getattr(transformers, f'{kind}Config')(hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                                                    intermediate_size=16, image_size=42, patch_size=14)
    network = getattr(transformers, f'{kind}Model')(config)
    network.save_pretrained(tmp_path)
    view, teacher = _wide_view(), Backbone(str(tmp_path), size=(57, 85), device='cpu')  # 4 x 6 patches
    maps = teacher._run(view.image())
    assert maps.shape == (16, 4, 6) == (teacher.width, 4, 6)
    centre = np.array([[2.5 * 16 - 0.5, 1.5 * 16 - 0.5]], np.float32)
    assert np.allclose(teacher.features(view, centre)[0], maps[:, 1, 2], atol=1e-5)
    changed = view.image().copy()
    changed[17:31, 33:47] ^= 255
    moved = np.abs(teacher._run(changed) - maps).sum(0)
    assert np.unravel_index(moved.argmax(), moved.shape) == (1, 2)
    with pytest.raises(ValueError, match='Backbone knows no classes'):
        teacher.probabilities(view, centre)


def test_recent_maps_are_kept_up_to_their_bytes():
    kept, made = RecentMaps(100), []

    def make(name):
        made.append(name)
        return np.zeros(40, np.uint8)
    for name in 'ababcab':
        kept.get(name, lambda: make(name))
    assert ''.join(made) == 'abcab'


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
    with pytest.raises(ValueError, match=f'no image backbone at "{tmp_path}"'):
        Backbone(str(tmp_path))
