"""LoRA trainings: from photographs to a published model."""
