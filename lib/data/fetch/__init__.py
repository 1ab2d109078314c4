"""What a download goes through: archives unpacked safely, and the sets that torchvision fetches."""
