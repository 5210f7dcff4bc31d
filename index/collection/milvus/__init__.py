"""A collection in Milvus: on a server, or in a file of Milvus Lite."""
