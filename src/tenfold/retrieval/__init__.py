"""Knowledge bases: documents are cut, indexed by words and by vectors, searched and cited. It answers nothing."""
