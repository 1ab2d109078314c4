"""What is kept on disks that many processes and machines share: scratch files, digests, finished folders."""
