-- +goose Up
CREATE TABLE catalog (
    sku            TEXT PRIMARY KEY,
    name           TEXT NOT NULL,
    price          BIGINT NOT NULL, -- in the smallest unit
    standard_price BIGINT NOT NULL  -- what a reset goes back to
);
-- One row: which catalogue this is, and since when.
CREATE TABLE catalog_state (
    id         INTEGER PRIMARY KEY,
    version    BIGINT NOT NULL,
    written_at BIGINT NOT NULL -- microseconds since 1970
);
INSERT INTO catalog_state (id, version, written_at) VALUES (1, 1, 1767225600000000);
-- 2,000 items: each colour, material and thing once.
INSERT INTO catalog (sku, name, price, standard_price)
WITH colours (c, colour) AS (VALUES
    (0, 'Amber'), (1, 'Azure'), (2, 'Black'), (3, 'Blue'), (4, 'Brown'), (5, 'Coral'), (6, 'Crimson'), (7, 'Emerald'), (8, 'Golden'), (9, 'Green'),
    (10, 'Grey'), (11, 'Indigo'), (12, 'Ivory'), (13, 'Lilac'), (14, 'Olive'), (15, 'Orange'), (16, 'Pink'), (17, 'Silver'), (18, 'Violet'), (19, 'White')),
materials (m, material) AS (VALUES
    (0, 'bamboo'), (1, 'canvas'), (2, 'ceramic'), (3, 'copper'), (4, 'cotton'), (5, 'glass'), (6, 'leather'), (7, 'paper'), (8, 'steel'), (9, 'wooden')),
things (t, thing) AS (VALUES
    (0, 'bag'), (1, 'basket'), (2, 'bowl'), (3, 'box'), (4, 'clock'), (5, 'cup'), (6, 'lamp'), (7, 'stool'), (8, 'tray'), (9, 'vase')),
items (n, name) AS (
    SELECT c * 100 + m * 10 + t + 1, colour || ' ' || material || ' ' || thing FROM colours CROSS JOIN materials CROSS JOIN things)
SELECT 'SKU-' || substr('0000' || CAST(n AS TEXT), length(CAST(n AS TEXT)) + 1), name,
    500 + (n * 7919) % 20000, 500 + (n * 7919) % 20000 FROM items;

-- +goose Down
DROP TABLE catalog;
DROP TABLE catalog_state;
