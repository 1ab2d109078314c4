"""What a set goes through when it is downloaded: archives unpacked safely, and the sets that torchvision fetches."""
