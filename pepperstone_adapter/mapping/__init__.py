"""Floor 2: broker structs to framework types and back. Pure but for `id_store`, which keeps ids on disk."""
