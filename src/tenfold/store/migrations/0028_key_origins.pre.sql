-- Where a publishable key may stand: origins of web pages ("https://shop.example"). Empty: the key is a secret.

ALTER TABLE api_keys ADD COLUMN origins text[] NOT NULL DEFAULT '{}';
