"""An HTTP server of one model: TensorFlow Serving's REST API, a plain one, and a page."""
