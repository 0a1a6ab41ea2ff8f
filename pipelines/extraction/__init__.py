"""Computing the features of very many images, shard by shard, on any number of machines."""
