"""Shortcut-V2V on the Unsup RecycleGAN teacher."""
