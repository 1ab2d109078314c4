"""Files of other machines: fetched resumably, held against every checksum that is known of them."""
