from sample_model_fixtures import ask, champion, config, folder, ports, quick

__all__ = ["ask", "champion", "config", "folder", "ports", "quick"]
