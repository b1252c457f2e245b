"""The referee goes out: public functions of the JAX ecosystem beside their mathematics, and what is found."""
