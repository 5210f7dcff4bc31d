"""The gallery: embedded once, published as versions, searched with FAISS."""
