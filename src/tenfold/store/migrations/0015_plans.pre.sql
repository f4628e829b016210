-- Tenants are on plans, which the operator names: rules of routes go by them. NULL: on none. No row is rewritten.

ALTER TABLE tenants ADD COLUMN plan text CHECK (length(plan) <= 63);
GRANT UPDATE (plan) ON tenants TO tenfold_app;
