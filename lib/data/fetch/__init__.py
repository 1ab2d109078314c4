"""What a download goes through: transfers, archives unpacked safely, and the sets that torchvision fetches."""
