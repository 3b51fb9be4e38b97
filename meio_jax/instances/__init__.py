"""The literature: an instance a function, with citation, event order and known optimum."""
