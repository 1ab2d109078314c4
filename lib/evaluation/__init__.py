"""What trained networks do on test images: transfer, cost, where attention goes, what a part is worth."""
