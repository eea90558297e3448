SELECT i.id FROM ingress i WHERE i.id = ANY ($1::text[]) FOR UPDATE
